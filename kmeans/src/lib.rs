pub mod fixed;
pub mod kernel;
