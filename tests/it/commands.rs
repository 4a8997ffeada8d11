//! `ringmq admin` against a name server and two brokers: what each command prints, its columns and
//! its exit code.

mod accounts;
mod cluster;
mod dead_letters;
mod describe;
mod elsewhere;
mod formats;
mod groups;
mod messages;
mod monitor;
mod pipes;
mod settings;
mod top;
mod topics;
