/**
 * Emphasis as readers of Chinese, Japanese and Korean expect it: `**…。**この` is bold.
 *
 * CommonMark looks at the characters around a run of stars, and takes punctuation between two letters for
 * the wrong side. In these scripts no space stands beside punctuation, so their characters, punctuation
 * too, count as letters there, and beside them other punctuation does no harm (the CommonMark CJK-friendly
 * amendments). Underscores need no change: what the amendments say of them is what marked does.
 */
import type { Tokenizer } from 'marked'

type Rules = Tokenizer<string, string>['rules']

/** Wide, full and half width characters, all of Hangul, and the selectors that may follow an ideograph. */
const CJK =
  '[\\u1100-\\u11ff\\u20a9\\u2329\\u232a\\u2e80-\\u303e\\u3041-\\ua4cf\\ua960-\\ua97c\\uac00-\\ud7fb\\uf900-\\ufaff' +
  '\\ufe00-\\ufe02\\ufe10-\\ufe19\\ufe30-\\ufe6b\\uff01-\\uffdc\\uffe0-\\uffee' +
  '\\u{16fe0}-\\u{18d8f}\\u{1aff0}-\\u{1b2ff}\\u{20000}-\\u{3fffd}\\u{e0100}-\\u{e01ef}]'

/** Underscores open no emphasis in the middle of a word, and these scripts have no spaces to tell words apart. */
export function beforeUnderscore(previous: string | undefined): string | undefined {
  return previous !== undefined && /\p{L}/u.test(previous) ? 'a' : previous
}

const MARKS = '[\\p{P}\\p{S}]'

/** The rules for stars and tildes; `rules` are marked's own. */
export function cjkFriendly(rules: Rules): Rules {
  // A tilde beside a star may begin struck text, so it is no punctuation there.
  const stars = spanEnds('\\*', '\\*+', `(?![*~]|${CJK})${MARKS}`, `(?:${CJK}|~|[^\\s\\p{P}\\p{S}])`)
  const tildes = spanEnds('~', '~~?', `(?!~|${CJK})${MARKS}`, `(?:${CJK}|[^\\s\\p{P}\\p{S}])`)
  const underscore = '^_+(?:((?![_~])[\\p{P}\\p{S}])|([^\\s_]))?'
  return {
    ...rules,
    inline: {
      ...rules.inline,
      punctuation: new RegExp(`^((?![*_])(?:\\s|${MARKS}|${CJK}))`, 'u'),
      emStrongLDelim: new RegExp(`^\\*+(?:((?![*~]|${CJK})${MARKS})|([^\\s*]))|${underscore}`, 'u'),
      emStrongRDelimAst: new RegExp(`^[^_*]*?__[^_*]*?\\*[^_*]*?(?=__)|${stars}`, 'gu'),
      delLDelim: new RegExp(`^~~?(?:((?!~|${CJK})${MARKS})|[^\\s~])`, 'u'),
      delRDelim: new RegExp(tildes, 'gu'),
    },
  }
}

/** In the order of marked's groups: runs 1 and 2 only end a span, 3 and 4 only begin one, 5 and 6 may do both. */
function spanEnds(mark: string, run: string, punctuation: string, letter: string): string {
  const spaced = `(?!${CJK})${letter}` // of a script with spaces
  return [
    `[^${mark}]+(?=[^${mark}])`,
    `${punctuation}(${run})(?=\\s|$)`,
    `(?:${spaced}|${CJK}(?=${run}(?:\\s|$)))(${run})(?!${mark})(?=\\s|${punctuation}|$)`,
    `(?:\\s|${punctuation}(?=${run}${spaced}))(${run})(?=${letter})`,
    `\\s(${run})(?=${punctuation})`,
    `${punctuation}(${run})(?=${punctuation}|${CJK})`,
    `(?:${letter}(?=${run}${letter})|${CJK}(?=${run}${punctuation}))(${run})(?!${mark})`,
  ].join('|')
}
