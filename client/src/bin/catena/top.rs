//! The load of the engine, live: the ops and the objects of every shard.

mod screen;
mod view;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use catena_client::Client;
use clap::Args;
use ratatui::crossterm::event::{self, Event};

use self::screen::{Screen, Step};
use self::view::TopView;
use crate::context::Context;
use crate::interrupt;
use crate::outcome::Outcome;
use crate::output::OutputError;
use crate::values::time;

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Time between two updates of the display
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    every: Duration,
    /// Number of updates before it ends [default: 1 without a terminal]
    #[arg(long)]
    times: Option<u32>,
}

impl TopArgs {
    pub(crate) fn run(&self, on: &Context<'_>) -> anyhow::Result<Outcome> {
        let client = on.client;
        let in_place = std::io::stdout().is_terminal() && !on.format.json;
        if in_place && self.times.is_none() {
            let mut terminal = ratatui::try_init().map_err(OutputError::from)?;
            let ended = self.watch(client, &mut terminal);
            ratatui::restore();
            ended?;
            return Ok(Outcome::silent(0));
        }
        let mut last: Option<TopView> = None;
        for _ in 0..self.times.unwrap_or(1) {
            let view = self.measure(client)?;
            if let Some(before) = last.replace(view) {
                before.outcome().print(on.format)?;
            }
        }
        Ok(last.map_or_else(Outcome::nothing, |view| view.outcome()))
    }

    /// Reads the statistics twice, `every` apart.
    fn measure(&self, client: &Client) -> anyhow::Result<TopView> {
        let before = client.stats()?;
        let since = Instant::now();
        interrupt::sleep(self.every)?;
        TopView::between(client, &before, since)
    }

    fn watch(
        &self,
        client: &Client,
        terminal: &mut ratatui::DefaultTerminal,
    ) -> anyhow::Result<()> {
        let (mut before, mut since) = (client.stats()?, Instant::now());
        std::thread::sleep(self.every.min(FIRST));
        let mut view = TopView::between(client, &before, since)?;
        let mut screen = Screen::default();
        loop {
            screen.remember(&view);
            terminal.draw(|frame| screen.draw(&view, frame)).map_err(OutputError::from)?;
            let next = since + self.every;
            while let Some(left) = next.checked_duration_since(Instant::now()) {
                if !event::poll(left)? {
                    continue;
                }
                if let Event::Key(key) = event::read()?
                    && screen.on_key(key) == Step::Quit
                {
                    return Ok(());
                }
                terminal.draw(|frame| screen.draw(&view, frame)).map_err(OutputError::from)?;
            }
            view = TopView::between(client, &before, since)?;
            (before, since) = (view.shards.clone(), Instant::now());
        }
    }
}

/// The longest time until the first display.
const FIRST: Duration = Duration::from_millis(250);
