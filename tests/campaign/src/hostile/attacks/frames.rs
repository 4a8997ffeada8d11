//! Frames that do not come, that are none, and connections that are gone at once.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};

use crate::hostile::{attacker::Target, wire::PATIENCE};

/// Connections of [`half_frames`] to each server.
const HALF_FRAMES: usize = 200;
const RESETS_AT_ONCE: usize = 100;
/// What a frame of 16 MiB begins with: its length, and a byte.
const HALF: [u8; 5] = [0, 0xFF, 0xFF, 0xFC, 1];

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, PATIENCE)
}

/// Closing sends a reset, which leaves nothing behind on this side.
pub(super) fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(stream, sockopt::Linger, &linger).map_err(io::Error::from)
}

/// 200 connections to each server announce a frame of 16 MiB and send one byte of it; always new
/// ones take the place of the oldest.
pub fn half_frames(target: &Target) -> io::Result<()> {
    let mut held = VecDeque::new();
    let mut pace = target.pace(200.0);
    loop {
        for address in [target.broker, target.names] {
            let mut stream = connect(address)?;
            reset_on_close(&stream)?;
            stream.write_all(&HALF)?;
            target.count("half frame");
            held.push_back(stream);
        }
        if held.len() > 2 * HALF_FRAMES {
            held.drain(..2);
            pace.wait();
        }
    }
}

/// Bytes that are no frame, each on a connection of its own: a line of the log each, if it is not
/// limited.
pub fn bad_frames(target: &Target) -> io::Result<()> {
    let bad: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 2, b'{', b'}'],
        &[0, 0, 0, 6, 7, 0, 0, 2, b'{', b'}'],
        &[0, 0, 0, 9, 0, 0, 0, 5, b'{', b'"', b'c', b'o', b'\n'],
    ];
    let mut pace = target.pace(4000.0);
    loop {
        for bytes in bad {
            for address in [target.broker, target.names] {
                let mut stream = connect(address)?;
                reset_on_close(&stream)?;
                // it may be closed on us while we write
                let _ = stream.write_all(bytes);
                target.count("bad frame");
                pace.wait();
            }
        }
    }
}

/// Connections that are reset before anybody accepts them.
pub fn resets(target: &Target) -> io::Result<()> {
    let mut pace = target.pace(20.0);
    loop {
        for address in [target.broker, target.names] {
            for _ in 0..RESETS_AT_ONCE {
                reset_on_close(&connect(address)?)?;
                target.count("reset");
            }
        }
        pace.wait();
    }
}

/// Waits a moment with everything open.
pub(super) fn hold(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}
