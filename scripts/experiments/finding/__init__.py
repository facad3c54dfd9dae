"""The benchmark: which ranking finds wrong labels best, given the same training time."""
