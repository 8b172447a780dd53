//! A batch: appends and answers for one call of the server's function.

mod array;
mod call;
mod ends;
mod link;
mod plan;
mod verdict;
mod witness;

pub(crate) use self::array::ElementType;
pub(crate) use self::call::{expected_number, query};
pub(crate) use self::ends::StreamEnds;
pub(crate) use self::link::{link, read_link};
pub(crate) use self::plan::{Caution, Plan};
pub(crate) use self::verdict::{Reply, code, number, read, stream_refusal};
pub(crate) use self::witness::Witness;
