//! Colours and markers, readable on a light and on a dark page.
//!
//! Charts are drawn in the light colours. [`dark_rules`] maps each of them to its dark twin, so one picture serves both themes. The
//! colours of codecs are those of [`crate::palette`]; shapes say how a row came to its bytes.

use std::fmt::Write as _;

use plotters::style::RGBColor;

use crate::contender::{Contender, Mode};
use crate::palette;

/// Text.
pub(crate) const INK: RGBColor = RGBColor(0x1F, 0x23, 0x28);
/// Secondary text and axes.
pub(crate) const MUTED: RGBColor = RGBColor(0x59, 0x63, 0x6E);
/// Grid lines.
pub(crate) const GRID: RGBColor = RGBColor(0xE3, 0xE7, 0xEB);
/// Background.
pub(crate) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFE);
/// Limits and roofs.
pub(crate) const LIMIT: RGBColor = RGBColor(0xC0, 0x1C, 0x28);

/// Light and dark twin of every colour of series that are no codecs: roles of bytes, types of layers.
const SERIES: [(u32, u32); 10] = [
    (0x2563EB, 0x7AA8FF),
    (0xE0700A, 0xFFA24D),
    (0x15803D, 0x4CC476),
    (0xC026D3, 0xF08CFA),
    (0x0891A8, 0x41CFE3),
    (0x7B4B2A, 0xD2A07A),
    (0x7C3AED, 0xB79AFF),
    (0x7C8B00, 0xC3D13A),
    (0xE11D6B, 0xFF7DB0),
    (0x475569, 0xA9B6C8),
];

const SURFACES: [(RGBColor, u32); 5] =
    [(INK, 0xE6EDF3), (MUTED, 0x9AA6B2), (GRID, 0x2A313A), (PAPER, 0x0F141A), (LIMIT, 0xFF7B72)];

/// Outline of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Round.
    Circle,
    /// Upright square.
    Square,
    /// Triangle, tip up.
    Up,
    /// Square on its tip.
    Diamond,
    /// Triangle, tip down.
    Down,
    /// Upright cross.
    Plus,
    /// Five-pointed star.
    Star,
}

const SHAPES: [Shape; 7] =
    [Shape::Circle, Shape::Square, Shape::Up, Shape::Diamond, Shape::Down, Shape::Plus, Shape::Star];

/// How one series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its colour.
    pub colour: RGBColor,
    /// Its points' outline.
    pub shape: Shape,
    /// Whether points are drawn open (and lines dashed): a codec behind an entropy stage.
    pub hollow: bool,
}

impl Mark {
    /// The series of this number: numbers below 10 differ in colour, numbers below 70 in colour and shape together.
    pub(crate) fn number(number: usize) -> Self {
        Self { colour: rgb(SERIES[number % SERIES.len()].0), shape: SHAPES[number % SHAPES.len()], hollow: false }
    }

    /// A contender's: the colour is its codec's, the shape its mode's, and open marks stand behind an entropy stage.
    pub(crate) fn of(contender: &Contender) -> Self {
        let shape = match contender.mode() {
            Mode::Plain => Shape::Circle,
            Mode::Calibrated => Shape::Diamond,
            Mode::Sequential => Shape::Up,
            Mode::Planned => Shape::Star,
            Mode::Foreign => Shape::Square,
        };
        let colour = rgb(palette::colour(contender.colour_id()).0);
        Self { colour, shape, hollow: !contender.stage.is_empty() }
    }
}

fn rgb(colour: u32) -> RGBColor {
    let [_, red, green, blue] = colour.to_be_bytes();
    RGBColor(red, green, blue)
}

/// CSS that recolours `svg` below `scope` for a dark page: rules for the colours that occur in it.
pub(crate) fn dark_rules(scope: &str, svg: &str) -> String {
    let surfaces = SURFACES.iter().map(|&(light, dark)| (u32::from_be_bytes([0, light.0, light.1, light.2]), dark));
    let mut css = String::new();
    for (light, dark) in SERIES.into_iter().chain(palette::all()).chain(surfaces) {
        if svg.contains(&format!("#{light:06X}")) {
            let _ = write!(css, "{scope} [fill=\"#{light:06X}\"]{{fill:#{dark:06X}}}");
            let _ = writeln!(css, "{scope} [stroke=\"#{light:06X}\"]{{stroke:#{dark:06X}}}");
        }
    }
    let _ = writeln!(css, "{scope} text[fill=\"#1F2328\"],{scope} text[fill=\"#59636E\"]{{stroke:#0F141A}}");
    css
}

/// CSS of a chart on any page: the system's font, and a halo that keeps labels readable where they cross a line.
pub(crate) fn chart_rules(scope: &str) -> String {
    format!(
        "{scope} text{{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}}\
         {scope} text[fill=\"#1F2328\"],{scope} text[fill=\"#59636E\"]{{paint-order:stroke;stroke:#FFFFFE;stroke-width:3px;\
         stroke-linejoin:round}}\n"
    )
}

/// Colour ramp of the heat maps: pale for 0, strong for 1; with the ink that reads on it.
pub(crate) fn heat(level: f64) -> (RGBColor, RGBColor) {
    const STOPS: [(f64, f64, f64); 5] =
        [(247.0, 251.0, 235.0), (186.0, 223.0, 190.0), (92.0, 176.0, 190.0), (52.0, 104.0, 165.0), (58.0, 28.0, 92.0)];
    let place = level.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let index = (place as usize).min(STOPS.len() - 2);
    let (from, to, part) = (STOPS[index], STOPS[index + 1], place - index as f64);
    let mix = |a: f64, b: f64| (a + (b - a) * part).round() as u8;
    let colour = RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2));
    let ink = if level < 0.55 { RGBColor(0x10, 0x14, 0x18) } else { RGBColor(0xFA, 0xFB, 0xFC) };
    (colour, ink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_carry_the_rules_of_their_colours() {
        let rules = dark_rules("svg", "<circle fill=\"#2563EB\"/>");
        assert!(rules.contains("[fill=\"#2563EB\"]{fill:#7AA8FF}") && !rules.contains("E0700A"), "{rules}");
    }
}
