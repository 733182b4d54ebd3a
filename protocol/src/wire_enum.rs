//! Enums whose values are fixed on the wire, where unknown numbers may arrive.

/// Declares a fieldless enum with fixed wire values, `to_wire`, `from_wire`, `name` and `ALL`.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $wire:ty { $($(#[$doc:meta])* $variant:ident = $value:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr($wire)]
        pub enum $name { $($(#[$doc])* $variant = $value,)+ }

        impl $name {
            /// Every value, in wire order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// Returns the number of this value on the wire.
            pub const fn to_wire(self) -> $wire {
                self as $wire
            }

            /// Returns the value of a number on the wire; `None` if this version has none.
            pub const fn from_wire(wire: $wire) -> Option<$name> {
                match wire {
                    $($value => Some($name::$variant),)+
                    _ => None,
                }
            }

            /// Returns the name that people read and write, in snake case.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $crate::wire_enum::snake_case!($variant),)+ }
            }
        }
    };
}

/// The name of a variant as people read and write it: `FetchAdd` is `"fetch_add"`.
macro_rules! snake_case {
    ($camel:ident) => {{
        const CAMEL: &str = stringify!($camel);
        const SNAKE: [u8; $crate::wire_enum::snake_len(CAMEL)] = $crate::wire_enum::snake(CAMEL);
        match std::str::from_utf8(&SNAKE) {
            Ok(name) => name,
            Err(_) => unreachable!(),
        }
    }};
}

pub(crate) use {snake_case, wire_enum};

/// How many bytes the name of a variant has.
pub(crate) const fn snake_len(camel: &str) -> usize {
    let camel = camel.as_bytes();
    let (mut at, mut len) = (1, 1);
    while at < camel.len() {
        len += if camel[at].is_ascii_uppercase() { 2 } else { 1 };
        at += 1;
    }
    len
}

/// The bytes of the name of a variant, of which there are `LEN`.
pub(crate) const fn snake<const LEN: usize>(camel: &str) -> [u8; LEN] {
    let camel = camel.as_bytes();
    let mut snake = [b'_'; LEN];
    let (mut from, mut to) = (0, 0);
    while from < camel.len() {
        if from > 0 && camel[from].is_ascii_uppercase() {
            to += 1;
        }
        snake[to] = camel[from].to_ascii_lowercase();
        (from, to) = (from + 1, to + 1);
    }
    snake
}
