//! Random numbers that no other node draws.

/// Returns 128 random bits that are not all 0, because 0 stands for "no node".
pub(crate) fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    u128::from_le_bytes(bytes).max(1)
}
