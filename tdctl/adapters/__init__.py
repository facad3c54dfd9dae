"""Records the dynamics of a training that another package runs.

Each module adapts one package, and needs it: ``lightning``, ``huggingface``, ``accelerate``,
``skorch`` and ``keras``. ``interpretdl`` needs torch alone; it has InterpretDL's interface.
Importing ``tdctl.adapters`` imports none of them.
"""
