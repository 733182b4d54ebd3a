//! The one macro of the crate: an enum whose values are fixed on the wire, with the way back from a
//! number that may be unknown.

/// Declares a fieldless enum with fixed wire values, `to_wire`, `from_wire` and `ALL`.
macro_rules! wire_enum {
    ($(#[$meta:meta])* pub enum $name:ident: $wire:ty { $($(#[$doc:meta])* $variant:ident = $value:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr($wire)]
        pub enum $name { $($(#[$doc])* $variant = $value,)+ }

        impl $name {
            /// Every value, in wire order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The number that stands for this value on the wire.
            pub const fn to_wire(self) -> $wire {
                self as $wire
            }

            /// The value a wire number stands for, `None` if this version has none.
            pub const fn from_wire(wire: $wire) -> Option<$name> {
                match wire {
                    $($value => Some($name::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use wire_enum;
