//! PostgreSQL arrays, written as they are filled.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, Postgres};
use sqlx::types::Type;
use uuid::Uuid;

/// The type of an array's elements, and that of the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ElementType {
    element: u32,
    array: u32,
}

impl ElementType {
    pub(crate) const INT4: Self = Self::new(23, 1007);
    pub(crate) const INT8: Self = Self::new(20, 1016);
    pub(crate) const TEXT: Self = Self::new(25, 1009);
    pub(crate) const UUID: Self = Self::new(2950, 2951);
    pub(crate) const BYTEA: Self = Self::new(17, 1001);
    pub(crate) const JSON: Self = Self::new(114, 199);
    pub(crate) const JSONB: Self = Self::new(3802, 3807);

    const fn new(element: u32, array: u32) -> Self {
        Self { element, array }
    }
}

/// An array under construction, in PostgreSQL's binary form: dimensions, whether it has nulls, the
/// element's type, length, lower bound; then each element with its length before it.
#[derive(Debug)]
pub(crate) struct Array {
    of: ElementType,
    bytes: Vec<u8>,
    len: i32,
}

const HAS_NULLS: std::ops::Range<usize> = 4..8;
const LEN: std::ops::Range<usize> = 12..16;

impl Array {
    pub(crate) fn new(of: ElementType) -> Self {
        let mut bytes = Vec::with_capacity(20);
        for word in [1, 0, of.element, 0, 1] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        Self { of, bytes, len: 0 }
    }

    /// How many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an element in its binary form, which may be in two parts.
    pub(crate) fn push_parts(&mut self, first: &[u8], second: &[u8]) {
        self.begin(Some(first.len() + second.len()));
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
    }

    pub(crate) fn push_bytes(&mut self, element: &[u8]) {
        self.push_parts(element, &[]);
    }

    pub(crate) fn push_null(&mut self) {
        self.begin(None);
        self.bytes[HAS_NULLS].copy_from_slice(&1_i32.to_be_bytes());
    }

    pub(crate) fn push_i32(&mut self, element: i32) {
        self.push_bytes(&element.to_be_bytes());
    }

    pub(crate) fn push_i64(&mut self, element: i64) {
        self.push_bytes(&element.to_be_bytes());
    }

    pub(crate) fn push_uuid(&mut self, element: impl Into<Option<Uuid>>) {
        match element.into() {
            Some(uuid) => self.push_bytes(uuid.as_bytes()),
            None => self.push_null(),
        }
    }

    /// A payload; `jsonb` has a version before its text.
    pub(crate) fn push_payload(&mut self, payload: &[u8]) {
        let version: &[u8] = if self.of == ElementType::JSONB { &[1] } else { &[] };
        self.push_parts(version, payload);
    }

    /// `None` if there are no elements: SQL's null instead of an empty array.
    pub(crate) fn or_null(self) -> MaybeArray {
        MaybeArray(self)
    }

    fn begin(&mut self, size: Option<usize>) {
        self.len += 1;
        // A request is refused long before its size does not fit.
        let size = size.map_or(-1, |size| i32::try_from(size).unwrap_or(i32::MAX));
        self.bytes.extend_from_slice(&size.to_be_bytes());
    }

    fn write(&self, buffer: &mut PgArgumentBuffer) {
        let from = buffer.len();
        buffer.extend_from_slice(&self.bytes);
        buffer[from + LEN.start..from + LEN.end].copy_from_slice(&self.len.to_be_bytes());
    }

    fn type_info(&self) -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(self.of.array))
    }
}

/// An array, or null if it is empty.
#[derive(Debug)]
pub(crate) struct MaybeArray(Array);

macro_rules! bindable {
    ($($type:ty, |$this:ident| $array:expr, $is_null:expr;)*) => {
        $(
            impl Type<Postgres> for $type {
                fn type_info() -> PgTypeInfo {
                    PgTypeInfo::with_oid(Oid(ElementType::BYTEA.array))
                }
            }

            impl Encode<'_, Postgres> for $type {
                fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                    let $this = self;
                    if $is_null {
                        return Ok(IsNull::Yes);
                    }
                    $array.write(buffer);
                    Ok(IsNull::No)
                }

                fn produces(&self) -> Option<PgTypeInfo> {
                    let $this = self;
                    Some($array.type_info())
                }

                fn size_hint(&self) -> usize {
                    let $this = self;
                    $array.size()
                }
            }
        )*
    };
}

bindable! {
    Array, |this| this, false;
    MaybeArray, |this| this.0, this.0.is_empty();
}
