//! The engine, live: what every shard does, and what it holds.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use catena_client::{Client, Stats};
use clap::Args;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table};
use serde_json::json;

use crate::answer::Answer;
use crate::values::time;

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// How often to look.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    every: Duration,
    /// Look so often and then end; without a terminal once, unless given.
    #[arg(long)]
    times: Option<u32>,
}

/// What was seen between two looks.
struct View {
    shards: Vec<Stats>,
    /// Updates and reads a second, by shard.
    rates: Vec<(f64, f64)>,
    engine: String,
}

impl TopArgs {
    pub(crate) fn run(&self, client: &Client) -> anyhow::Result<Answer> {
        if std::io::stdout().is_terminal() && self.times.is_none() {
            let mut terminal = ratatui::try_init()?;
            let ended = self.watch(client, &mut terminal);
            ratatui::restore();
            ended?;
            return Ok(Answer::done().with_text(""));
        }
        let mut last = None;
        for _ in 0..self.times.unwrap_or(1) {
            let view = self.look(client)?;
            if last.is_some() {
                Answer::value("").with_text(view.text()).print(false);
            }
            last = Some(view);
        }
        let Some(view) = last else { return Ok(Answer::nothing()) };
        Ok(Answer::value(view.json()).with_text(view.text()))
    }

    /// Looks twice, as far apart as asked.
    fn look(&self, client: &Client) -> anyhow::Result<View> {
        let before = client.stats()?;
        let since = Instant::now();
        std::thread::sleep(self.every);
        View::between(client, &before, since)
    }

    fn watch(
        &self,
        client: &Client,
        terminal: &mut ratatui::DefaultTerminal,
    ) -> anyhow::Result<()> {
        let (mut before, mut since) = (client.stats()?, Instant::now());
        let mut view = View::between(client, &before, since)?;
        loop {
            terminal.draw(|frame| view.draw(frame))?;
            let next = since + self.every;
            while let Some(left) = next.checked_duration_since(Instant::now()) {
                if event::poll(left)?
                    && let Event::Key(key) = event::read()?
                    && matches!(key.code, KeyCode::Char('q' | 'c') | KeyCode::Esc)
                {
                    return Ok(());
                }
            }
            view = View::between(client, &before, since)?;
            (before, since) = (view.shards.clone(), Instant::now());
        }
    }
}

const COLUMNS: [&str; 9] =
    ["shard", "core", "updates/s", "reads/s", "objects", "sessions", "waiting", "held", "memory"];

impl View {
    fn between(client: &Client, before: &[Stats], since: Instant) -> anyhow::Result<View> {
        let shards = client.stats()?;
        let seconds = since.elapsed().as_secs_f64().max(1e-6);
        #[allow(clippy::cast_precision_loss)] // a rate for people
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let rates = shards
            .iter()
            .zip(before)
            .map(|(now, before)| (rate(now.updates, before.updates), rate(now.reads, before.reads)))
            .collect();
        Ok(View { shards, rates, engine: client.engine() })
    }

    fn headline(&self) -> String {
        let updates: f64 = self.rates.iter().map(|(updates, _)| updates).sum();
        let reads: f64 = self.rates.iter().map(|(_, reads)| reads).sum();
        let objects: u64 = self.shards.iter().map(|shard| shard.objects).sum();
        let bytes: u64 = self.shards.iter().map(|shard| shard.bytes).sum();
        // Connections are the core's, and every shard of it says the same.
        let mut cores: Vec<(u64, u64)> =
            self.shards.iter().map(|shard| (shard.core, shard.connections)).collect();
        cores.sort_unstable();
        cores.dedup();
        let connections: u64 = cores.iter().map(|(_, connections)| connections).sum();
        format!(
            "{}: {updates:.0} updates/s, {reads:.0} reads/s, {objects} objects, {}, {connections} connections",
            self.engine,
            ByteSize(bytes),
        )
    }

    fn rows(&self) -> impl Iterator<Item = [String; 9]> {
        (0..).zip(self.shards.iter().zip(&self.rates)).map(|(at, (shard, (updates, reads)))| {
            let at: u32 = at;
            [
                at.to_string(),
                shard.core.to_string(),
                format!("{updates:.0}"),
                format!("{reads:.0}"),
                shard.objects.to_string(),
                shard.sessions.to_string(),
                shard.waiters.to_string(),
                shard.holds.to_string(),
                ByteSize(shard.bytes).to_string(),
            ]
        })
    }

    fn text(&self) -> String {
        let line = |cells: &[String]| {
            cells.iter().map(|cell| format!("{cell:>10}")).collect::<Vec<_>>().join("")
        };
        let head = line(&COLUMNS.map(str::to_owned));
        let rows: Vec<String> = self.rows().map(|row| line(&row)).collect();
        format!("{}\n{head}\n{}", self.headline(), rows.join("\n"))
    }

    fn json(&self) -> serde_json::Value {
        let shards = self.shards.iter().zip(&self.rates).map(|(shard, (updates, reads))| {
            json!({
                "core": shard.core, "updates_per_s": updates, "reads_per_s": reads,
                "updates": shard.updates, "reads": shard.reads, "objects": shard.objects,
                "named": shard.named, "sessions": shard.sessions, "waiters": shard.waiters,
                "holds": shard.holds, "bytes": shard.bytes,
                "memory_bytes_max": shard.memory_bytes_max, "connections": shard.connections,
            })
        });
        json!({"engine": self.engine, "shards": shards.collect::<Vec<_>>()})
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
                .areas(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(Line::styled(self.headline(), bold), head);
        let rows = self.rows().map(|row| Row::new(row.map(Cell::from)));
        let table = Table::new(rows, [Constraint::Length(10); 9])
            .header(Row::new(COLUMNS).style(Style::new().add_modifier(Modifier::UNDERLINED)));
        frame.render_widget(table, body);
        frame.render_widget(Line::from("q ends"), foot);
    }
}
