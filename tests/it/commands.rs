//! `ringmq admin` against a name server and two brokers: what each command prints, its columns and
//! its exit code.

mod accounts;
mod cat;
mod cluster;
mod describe;
mod dlq;
mod elsewhere;
mod formats;
mod groups;
mod messages;
mod settings;
mod topics;
