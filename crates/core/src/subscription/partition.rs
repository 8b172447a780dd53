//! How ordering keys spread over partitions.

/// The hash of an ordering key: FNV-1a over its UTF-8 bytes, 32 bits, then the finalizer of MurmurHash3.
///
/// It is part of what is stored, and never changes.
///
/// ```
/// assert_eq!(ordain::subscription::bucket_of(""), 0xab3e_7c0b);
/// assert_eq!(ordain::subscription::bucket_of("account-1"), 0xe81c_bd4c);
/// ```
pub fn bucket_of(key: &str) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    for byte in key.bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The partition, of so many, that a bucket belongs to.
pub fn partition_of(bucket: u32, partitions: u32) -> u32 {
    bucket % partitions.max(1)
}
