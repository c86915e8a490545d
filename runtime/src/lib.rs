//! Runs a quantized network on this machine.
