//! The service with components that write down what happens to them.

mod fakes;
mod plan;
mod service;
