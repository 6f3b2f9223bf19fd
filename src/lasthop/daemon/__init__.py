"""The director process: picks the implementations and runs them."""
