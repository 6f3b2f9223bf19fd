"""The boundary to the kernel's data plane: programs, maps, pins and attachments."""
