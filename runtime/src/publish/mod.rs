//! What is told to other machines: labels over MQTT, and rules that fire to webhooks.
//!
//! The camera's thread hands over what is new and goes on; whoever is away or slow misses what became
//! old meanwhile, and memory stays bounded.

pub mod mqtt;
pub mod tls;
pub mod webhook;
