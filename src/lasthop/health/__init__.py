"""Health checks of real servers: who is asked what, and what the answers mean. Nothing here changes a plan."""
