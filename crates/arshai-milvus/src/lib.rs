//! Vector store of arshai over Milvus gRPC.
