//! The choice between io_uring and epoll.

use std::fmt;

/// How a core waits for its sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "program", derive(clap::ValueEnum))]
pub enum Driver {
    /// io_uring, or epoll where the kernel refuses it.
    #[default]
    Auto,
    /// io_uring; the node does not start where the kernel refuses it.
    IoUring,
    /// epoll.
    Epoll,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Auto => "automatic",
            Driver::IoUring => "io_uring",
            Driver::Epoll => "epoll",
        })
    }
}
