//! The parity with the Python guide: a test for each thing carried over and for each thing mended, named after the
//! section of the guide. What a whole suite proves elsewhere is shown here once, on the real server.

mod section_1_features;
mod section_2_milvus;
mod section_2_milvus_mend;
mod section_3_memory;
mod section_3_memory_mend;
mod section_3_registry;
mod section_4_chat;
mod section_4_embeddings;
mod section_4_embeddings_mend;
mod section_5_speech;
mod section_6_tool;
mod section_7_agent;
mod section_8_overlap;
mod section_9_config;
