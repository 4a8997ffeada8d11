//! Tests of the binary from outside: over sockets, signals and files, as its users meet it.
//!
//! `RINGMQ_IT_BINARY` names another binary to test. Every store lies below the target directory,
//! on a real file system.

#![forbid(unsafe_code)]

mod access;
mod admin;
mod batches;
mod bounds;
mod client;
mod commands;
mod config_command;
mod configuration;
mod connections;
mod consumer_calls;
mod delay;
mod disk_full;
mod doctor;
mod drain;
mod errors;
mod filters;
mod garbage;
mod groups;
mod kill9;
mod lenient;
mod limits;
mod live_keys;
mod log_lines;
mod long_bodies;
mod long_lists;
mod metrics;
mod name_server;
mod name_server_bounds;
mod name_server_list;
mod names;
mod needs;
mod offsets;
mod operations;
mod order;
mod output;
mod ports;
mod process;
mod produce;
mod query;
mod random;
mod reload;
mod remote;
mod resets;
mod retention;
mod runtime_info;
mod security;
mod server;
mod service;
mod shards;
mod slow_readers;
mod small_memory;
mod start_stop;
mod stores;
mod templates;
mod tidy;
mod timers;
mod tls;
mod topics;
mod transactions;
mod tutorial;
