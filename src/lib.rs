pub mod http;
pub mod sandbox;
