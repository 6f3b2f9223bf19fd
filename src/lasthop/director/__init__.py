"""The one owner of desired and observed state."""
