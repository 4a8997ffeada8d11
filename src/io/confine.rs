//! Takes from this process, for good, what would start a program: no server has a use for it, and
//! whoever found a way in would.

use std::io;

/// Machine of the system calls, as the kernel tells it to filters.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// System calls from here on are those of x86-64's other calling convention, and not used.
const OTHER_CONVENTION: u32 = 0x4000_0000;

/// Where the kernel puts the number and the machine of a system call before the filter.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// Denies execve and execveat to all threads that there are and will be; they fail with EPERM.
///
/// # Errors
/// If the kernel has no filters of system calls. Then nothing has changed, or only that no program
/// would get more rights than this process.
pub fn deny_programs() -> io::Result<()> {
    let load = |at| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let equal = |value, if_so, else_| {
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, if_so, else_, value)
    };
    let beyond = instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, 0, OTHER_CONVENTION);
    let end = |value| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let denied = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let mut filter = [
        load(ARCHITECTURE_AT),
        equal(ARCHITECTURE, 0, 5),
        load(NUMBER_AT),
        equal(number(libc::SYS_execve), 3, 0),
        equal(number(libc::SYS_execveat), 2, 0),
        beyond,
        end(libc::SECCOMP_RET_ALLOW),
        end(denied),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the call takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Without the second flag some kernels make all threads slower.
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    let program: *const libc::sock_fprog = &raw const program;
    // SAFETY: program and filter are as the kernel defines them and live until the call returns,
    // which copies them.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, program) };
    match result {
        0 => Ok(()),
        // The thread that has another filter.
        thread if thread > 0 => {
            Err(io::Error::other(format!("thread {thread} has another filter")))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

fn instruction(code: u32, if_so: u8, else_: u8, value: u32) -> libc::sock_filter {
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    libc::sock_filter { code, jt: if_so, jf: else_, k: value }
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}
