//! Records of TLS that the kernel seals and opens, with their types: `recvmsg` and `sendmsg` with a
//! control message, which no crate has for both.

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

/// Room for one control message with a byte.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

// SAFETY: it calculates.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(1) } as usize;
const _: () = assert!(align_of::<Control>() >= align_of::<libc::cmsghdr>());

/// Contents of records of one type, and that type; without waiting. 0 bytes without a type are the
/// end of the stream.
///
/// Not `recv`: it fails at each record that is no data, and cannot tell a record without contents
/// from the end.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(Option<u8>, usize)> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let count = loop {
        let mut message = message(&mut part, &mut control);
        // SAFETY: the message names a buffer and room for control messages, with their lengths;
        // both are ours alone until the call returns.
        let count =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
        match usize::try_from(count) {
            Ok(count) => break (type_of(&message), count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    };
    Ok(count)
}

/// The type that came with a message.
fn type_of(message: &libc::msghdr) -> Option<u8> {
    // SAFETY: the kernel has filled the room that `message` names, as long as it says there.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    if header.is_null() {
        return None;
    }
    // SAFETY: not null, it lies within that room, which is aligned for it.
    let libc::cmsghdr { cmsg_level, cmsg_type, .. } = unsafe { *header };
    if (cmsg_level, cmsg_type) != (libc::SOL_TLS, libc::TLS_GET_RECORD_TYPE) {
        return None;
    }
    // SAFETY: behind a header of this type there is a byte, for which there is room.
    Some(unsafe { *libc::CMSG_DATA(header) })
}

/// Sends a record of this type, without waiting; how many of the bytes.
pub fn send(socket: BorrowedFd<'_>, kind: u8, bytes: &[u8]) -> io::Result<usize> {
    let mut control = Control([0; CONTROL_BYTES]);
    // The kernel reads only.
    let base = bytes.as_ptr().cast_mut().cast();
    let mut part = libc::iovec { iov_base: base, iov_len: bytes.len() };
    let message = message(&mut part, &mut control);
    // SAFETY: the message names room for one header, which is aligned for it, and a byte.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_TLS;
        (*header).cmsg_type = libc::TLS_SET_RECORD_TYPE;
        (*header).cmsg_len = libc::CMSG_LEN(1) as usize;
        ptr::write(libc::CMSG_DATA(header), kind);
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: as it was made above, and nobody changes it until the call returns.
    let count = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// One part with one control message.
fn message(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: numbers and pointers, for which 0 is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control.0).cast();
    message.msg_controllen = CONTROL_BYTES;
    message
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::fd::AsFd,
    };

    use super::*;
    use crate::kernel_tls::{self, Cipher, Direction, Keys, Version};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let own = TcpStream::connect(address).expect("it listens");
        (own, listener.accept().expect("somebody has connected").0)
    }

    /// Waits for what is there, or comes soon.
    fn received(socket: &TcpStream, buffer: &mut [u8]) -> (Option<u8>, usize) {
        loop {
            match receive(socket.as_fd(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::yield_now();
                }
                result => return result.expect("connected"),
            }
        }
    }

    #[test]
    fn without_tls_there_is_no_type() {
        let (mut own, peer) = pair();
        own.write_all(b"abc").expect("there is room");
        let mut buffer = [0; 8];
        assert_eq!(received(&peer, &mut buffer), (None, 3));
        drop(own);
        assert_eq!(received(&peer, &mut buffer), (None, 0));
    }

    /// Where the kernel has TLS; elsewhere there is nothing to see.
    #[test]
    fn the_kernel_tells_the_types_of_records() {
        let Ok(offer) = kernel_tls::probe() else { return };
        let suite = (Version::Tls13, Cipher::Aes128Gcm);
        assert!(offer.has(suite));
        let (mut own, peer) = pair();
        let keys = || Keys::new(suite, &[3; 16], [4; 12], 5).expect("sound");
        kernel_tls::ready(&own).expect("established");
        kernel_tls::set(&own, Direction::Send, &keys()).expect("sound keys");
        own.write_all(b"data").expect("there is room");
        assert_eq!(send(own.as_fd(), 21, &[1, 0]).expect("there is room"), 2);
        assert_eq!(send(own.as_fd(), 23, &[]).expect("there is room"), 0);
        kernel_tls::ready(&peer).expect("established");
        kernel_tls::set(&peer, Direction::Receive, &keys()).expect("sound keys");
        let mut buffer = [0; 8];
        assert_eq!((received(&peer, &mut buffer), &buffer[..4]), ((Some(23), 4), &b"data"[..]));
        assert_eq!((received(&peer, &mut buffer), &buffer[..2]), ((Some(21), 2), &[1, 0][..]));
        own.shutdown(std::net::Shutdown::Both).expect("connected");
        let mut rest = Vec::new();
        let _ = own.read_to_end(&mut rest);
        // A record without contents, if the kernel made one, is not the end.
        while let (Some(kind), 0) = received(&peer, &mut buffer) {
            assert_eq!(kind, 23);
        }
        assert_eq!(received(&peer, &mut buffer), (None, 0));
    }
}
