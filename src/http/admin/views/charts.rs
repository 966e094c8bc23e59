//! The dashboard's charts: geometry of small SVG drawings. Must not emit markup; the templates draw.

use super::parts::Count;

/// Posts per day, stacked: published, failed, scheduled.
#[derive(Clone, Debug, Default)]
pub struct DayBars {
    /// The finding, in words.
    pub caption: String,
    pub days: Vec<Day>,
}

#[derive(Clone, Debug, Default)]
pub struct Day {
    /// "12 Mar"
    pub label: String,
    pub published: Count,
    pub failed: Count,
    pub scheduled: Count,
    pub today: bool,
    /// The filtered list of that day.
    pub url: String,
}

/// A rectangle of the drawing, in its own units.
pub struct Rect {
    pub class: &'static str,
    pub x: u64,
    pub y: u64,
    pub w: u64,
    pub h: u64,
}

const STEP: u64 = 24;
const PLOT: u64 = 120;
const TOP: u64 = 8;

impl DayBars {
    pub fn width(&self) -> u64 {
        STEP * self.days.len().max(1) as u64
    }

    /// The largest day, rounded up to a round number, never 0.
    pub fn top(&self) -> u64 {
        let max = self.days.iter().map(|d| d.published.0 + d.failed.0 + d.scheduled.0).max().unwrap_or(0);
        let unit = 10u64.pow(max.max(1).ilog10());
        max.div_ceil(unit).max(1) * unit
    }

    pub fn top_label(&self) -> Count {
        Count(self.top())
    }

    pub fn rects(&self) -> Vec<Rect> {
        let top = self.top();
        let mut out = Vec::new();
        for (i, day) in self.days.iter().enumerate() {
            let x = STEP * i as u64 + 4;
            let mut base = TOP + PLOT;
            for (class, n) in [("c2", day.published.0), ("c3", day.failed.0), ("c1", day.scheduled.0)] {
                if n == 0 {
                    continue;
                }
                let h = (n.saturating_mul(PLOT) / top).clamp(2, base.saturating_sub(TOP).max(2));
                base = base.saturating_sub(h);
                out.push(Rect { class, x, y: base, w: STEP - 8, h });
            }
        }
        out
    }

    /// X of the line between yesterday and today.
    pub fn today_x(&self) -> Option<u64> {
        self.days.iter().position(|d| d.today).map(|i| STEP * i as u64)
    }

    /// Labels of every seventh day, spread over the width: with 29 days they stand under their bars.
    pub fn ticks(&self) -> Vec<&str> {
        self.days.iter().step_by(7).map(|d| d.label.as_str()).collect()
    }
}

/// Horizontal bars with n of N each.
#[derive(Clone, Debug, Default)]
pub struct Bars {
    pub caption: String,
    pub bars: Vec<Bar>,
}

#[derive(Clone, Debug, Default)]
pub struct Bar {
    pub label: String,
    pub n: Count,
    pub total: Count,
    pub url: String,
}

impl Bar {
    /// Share in tenths of a percent, 0 to 1000: the bar's width.
    pub fn share(&self) -> u64 {
        (self.n.0.saturating_mul(1000) / self.total.0.max(1)).min(1000)
    }

    /// "2.5 %"
    pub fn percent(&self) -> String {
        format!("{}.{} %", self.share() / 10, self.share() % 10)
    }
}
