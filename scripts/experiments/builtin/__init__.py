"""How the detectors that ship were trained."""
