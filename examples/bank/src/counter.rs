//! Where the commands of a day are carried out.

use std::time::Duration;

use ordain::{App, CommandId};

use crate::bank::Bank;
use crate::domain::{AccountCommand, RequestTransfer, Transfer, TransferId};
use crate::entry::DayCommand;
use crate::tally::{DispatchError, Refusal};

/// The pauses between looks at a transfer that is under way.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// Carries out the commands of a day.
pub(crate) struct Counter {
    app: App,
}

/// A command that was carried out.
pub(crate) struct Done {
    /// Whether it had been before.
    pub(crate) repeated: bool,
}

impl Counter {
    pub(crate) fn of(bank: &Bank) -> Self {
        let app = bank.app().clone();
        Self { app }
    }

    /// Carries a command out. A transfer has ended when it is answered.
    pub(crate) async fn carry_out(
        &self,
        command: DayCommand,
        id: CommandId,
    ) -> Result<Done, DispatchError> {
        match command {
            DayCommand::Account(command) => self.on_account(command, id).await,
            DayCommand::Transfer(command) => self.transfer(command, id).await,
        }
    }

    async fn on_account(
        &self,
        command: AccountCommand,
        id: CommandId,
    ) -> Result<Done, DispatchError> {
        let receipt = self.app.dispatch(command).command_id(id).await;
        let receipt = receipt.map_err(|error| error.map_rejection(Refusal::Account))?;
        Ok(Done {
            repeated: receipt.repeated,
        })
    }

    async fn transfer(
        &self,
        command: RequestTransfer,
        id: CommandId,
    ) -> Result<Done, DispatchError> {
        let transfer = command.transfer.clone();
        let receipt = self.app.dispatch(command).command_id(id).await;
        let receipt = receipt.map_err(|error| error.map_rejection(Refusal::Transfer))?;
        self.until_ended(&transfer).await;
        Ok(Done {
            repeated: receipt.repeated,
        })
    }

    async fn until_ended(&self, transfer: &TransferId) {
        let mut look = FIRST_LOOK;
        loop {
            // What cannot be read now is read again: the store says when it is back.
            if let Ok(transfer) = self.app.load::<Transfer>(transfer).await
                && transfer.state().has_ended()
            {
                return;
            }
            tokio::time::sleep(look).await;
            look = (look * 2).min(LONGEST_LOOK);
        }
    }
}
