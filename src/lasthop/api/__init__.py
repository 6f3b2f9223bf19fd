"""HTTP over a unix socket: the server the director runs, and the client the front ends use."""
