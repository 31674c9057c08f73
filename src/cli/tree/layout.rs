//! Divides the screen, whatever its size. Pure.

use ratatui::layout::Rect;

/// From this width on the value is shown beside the tree, otherwise below it.
const WIDE: u16 = 80;
/// A lower screen has no room for a second pane below the first.
const LOW: u16 = 9;

/// The areas of the screen. None overlaps another; each may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) header: Rect,
    pub(super) tree: Rect,
    /// The value's pane with its edge, if it is shown.
    pub(super) value: Option<ValueAreas>,
    /// The problem, while there is one.
    pub(super) trouble: Rect,
    pub(super) footer: Rect,
}

/// The areas of the value's pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ValueAreas {
    /// The whole pane.
    pub(super) whole: Rect,
    /// Whether it is beside the tree.
    pub(super) beside: bool,
    /// The facts about the key.
    pub(super) about: Rect,
    /// The value.
    pub(super) text: Rect,
}

/// Divides a screen; the problem takes this many rows.
pub(super) fn areas((width, height): (u16, u16), with_value: bool, trouble: u16) -> Areas {
    let header = Rect::new(0, 0, width, height.min(1));
    let middle = height.saturating_sub(2);
    let trouble = trouble.min(middle / 3);
    let middle = middle - trouble;
    let trouble = Rect::new(0, 1 + middle, width, trouble).intersection(Rect::new(0, 0, width, height));
    let footer = Rect::new(0, height.saturating_sub(1), width, u16::from(height > 1));
    let mut tree = Rect::new(0, 1, width, middle);
    let value = if !with_value {
        None
    } else if width >= WIDE {
        let left = width * 11 / 20;
        tree.width = left;
        let whole = Rect::new(left, 1, width - left, middle);
        let inner = Rect { x: whole.x + 2, width: whole.width.saturating_sub(3), ..whole };
        Some(parts(whole, inner, true))
    } else if middle + 2 >= LOW {
        let upper = (middle * 11 / 20).max(1);
        tree.height = upper;
        let whole = Rect::new(0, 1 + upper, width, middle - upper);
        let inner = Rect::new(1, whole.y + 1, width.saturating_sub(2), whole.height.saturating_sub(1));
        Some(parts(whole, inner, false))
    } else {
        None
    };
    Areas { header, tree, value, trouble, footer }
}

fn parts(whole: Rect, inner: Rect, beside: bool) -> ValueAreas {
    // Beside the tree: key, version, age and size, modes, an empty line. Below it the key is in the edge.
    let said = if beside { 5 } else { 1 }.min(inner.height);
    let about = Rect { height: said, ..inner };
    let text = Rect { y: inner.y + said, height: inner.height - said, ..inner };
    ValueAreas { whole, beside, about, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_divided_without_overlap() {
        for width in 0..200 {
            for (height, trouble) in (0..60).flat_map(|height| [(height, 0), (height, 1), (height, 3)]) {
                let screen = Rect::new(0, 0, width, height);
                let areas = areas((width, height), true, trouble);
                assert!(areas.trouble.height == trouble || height < 3 * trouble + 2);
                let mut all = vec![areas.header, areas.footer, areas.tree, areas.trouble];
                if let Some(value) = areas.value {
                    all.push(value.whole);
                    for part in [value.about, value.text] {
                        assert!(
                            part.is_empty() || value.whole.union(part) == value.whole,
                            "{width}x{height}"
                        );
                    }
                    assert!(!value.about.intersects(value.text));
                }
                for (index, one) in all.iter().enumerate() {
                    assert!(one.is_empty() || screen.union(*one) == screen, "{width}x{height} {one:?}");
                    assert!(all[..index].iter().all(|other| !one.intersects(*other)), "{width}x{height}");
                }
            }
        }
    }
}
