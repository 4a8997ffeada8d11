//! Ports for the servers of the tests, below the range that the kernel gives to clients. Test
//! processes that run at the same time have blocks of their own: a port that was free when both
//! looked would let a test talk to the broker of another.

use std::{
    fs::{File, TryLockError},
    net::{Ipv4Addr, TcpListener},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

const FIRST: u16 = 12_000;
/// Enough for all servers that run at a time, several times over.
const BLOCK: u16 = 600;
const BLOCKS: u16 = 30;
/// A Java broker takes the port two below and one above as well.
const APART: u16 = 5;

/// A port that nobody uses, and nobody else is given while this process runs and the block lasts.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = FIRST + own_block() * BLOCK;
    for _ in 0..BLOCK / APART {
        let port = begin + NEXT.fetch_add(1, Ordering::Relaxed) % (BLOCK / APART) * APART;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {begin} on is free, {BLOCK} in all: `ss -ltnp` says what uses them");
}

/// The block that this process has locked until it ends.
fn own_block() -> u16 {
    static OWN: OnceLock<(u16, File)> = OnceLock::new();
    OWN.get_or_init(|| {
        let directory = std::env::temp_dir().join("ringmq-test-ports");
        std::fs::create_dir_all(&directory).expect("the temporary directory can be written");
        // Whoever comes later begins elsewhere, so that ports rest after their servers.
        let begin = u16::try_from(std::process::id() % u32::from(BLOCKS)).expect("small");
        for block in (begin..begin + BLOCKS).map(|block| block % BLOCKS) {
            let file = File::create(directory.join(block.to_string())).expect("is a file");
            match file.try_lock() {
                Ok(()) => return (block, file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => panic!("cannot lock a block of ports: {error}"),
            }
        }
        panic!("{BLOCKS} other test processes run, and each has a block of ports: wait for one");
    })
    .0
}
