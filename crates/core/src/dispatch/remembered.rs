//! Answers without events, kept under the command's id.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DispatchError;
use crate::{Aggregate, CodecError, CommandMark, StreamId, StreamVersion};

/// An answer that needed no append.
#[derive(Debug)]
pub(crate) enum Answered<E> {
    /// Accepted, and nothing changed.
    NoEvents,
    /// The domain said no.
    Rejected(E),
    NotFound,
    AlreadyExists,
    /// Anything that is not remembered.
    Failed(DispatchError<E>),
}

impl<E> Answered<E> {
    pub(crate) fn is_remembered(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }

    pub(crate) fn into_result(self, stream: &StreamId) -> Result<(), DispatchError<E>> {
        match self {
            Self::NoEvents => Ok(()),
            Self::Rejected(error) => Err(DispatchError::Rejected(error)),
            Self::NotFound => Err(DispatchError::NotFound {
                stream: stream.clone(),
            }),
            Self::AlreadyExists => Err(DispatchError::AlreadyExists {
                stream: stream.clone(),
            }),
            Self::Failed(error) => Err(error),
        }
    }
}

/// What is stored of an answer without events.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) command: CommandMark,
    /// The version of the stream it was decided on.
    pub(crate) version: StreamVersion,
    answer: Kind,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    NoEvents,
    NotFound,
    AlreadyExists,
    Rejected { message: String, error: Value },
}

impl Remembered {
    /// What to store; `None` for an answer that is not remembered.
    pub(crate) fn encode<A: Aggregate>(
        answered: &Answered<A::Error>,
        command: &CommandMark,
        version: StreamVersion,
    ) -> Result<Option<Bytes>, CodecError> {
        let answer = match answered {
            Answered::NoEvents => Kind::NoEvents,
            Answered::NotFound => Kind::NotFound,
            Answered::AlreadyExists => Kind::AlreadyExists,
            Answered::Rejected(error) => Kind::Rejected {
                message: error.to_string(),
                error: serde_json::to_value(error).map_err(CodecError::encode)?,
            },
            Answered::Failed(_) => return Ok(None),
        };
        let remembered = Self {
            command: command.clone(),
            version,
            answer,
        };
        let json = serde_json::to_vec(&remembered).map_err(CodecError::encode)?;
        Ok(Some(json.into()))
    }

    pub(crate) fn decode(data: &[u8]) -> Result<Self, CodecError> {
        serde_json::from_slice(data).map_err(CodecError::decode)
    }

    /// The answer again; a refusal in words that are no longer known comes as text.
    pub(crate) fn into_answer<A: Aggregate>(self) -> Answered<A::Error> {
        match self.answer {
            Kind::NoEvents => Answered::NoEvents,
            Kind::NotFound => Answered::NotFound,
            Kind::AlreadyExists => Answered::AlreadyExists,
            Kind::Rejected { message, error } => match serde_json::from_value(error) {
                Ok(error) => Answered::Rejected(error),
                Err(_) => Answered::Failed(DispatchError::RejectedBefore {
                    message,
                    version: self.version,
                }),
            },
        }
    }
}
