"""Photographs: training from scratch, fine-tuning a pretrained network, and frozen features."""
