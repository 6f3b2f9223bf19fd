"""Pure decisions: from configuration and observation to what the data plane shall hold. No I/O, no clock."""
