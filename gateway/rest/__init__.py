"""REST in the shapes that letta-client programs know, over the same services that gRPC clients call."""
