/** Unicode's mathematical alphabets, which MathML Core expects as characters and not as an attribute. */

interface Alphabet {
  upper: number
  lower: number
  digit?: number
  /** Letters that Unicode had before the alphabet and left out of it. */
  elsewhere?: Record<string, number>
}

const ALPHABETS: Record<string, Alphabet> = {
  bold: { upper: 0x1d400, lower: 0x1d41a, digit: 0x1d7ce },
  italic: { upper: 0x1d434, lower: 0x1d44e, elsewhere: { h: 0x210e } },
  'bold-italic': { upper: 0x1d468, lower: 0x1d482 },
  script: {
    upper: 0x1d49c,
    lower: 0x1d4b6,
    elsewhere: {
      B: 0x212c, E: 0x2130, F: 0x2131, H: 0x210b, I: 0x2110, L: 0x2112, M: 0x2133, R: 0x211b,
      e: 0x212f, g: 0x210a, o: 0x2134,
    },
  },
  'bold-script': { upper: 0x1d4d0, lower: 0x1d4ea },
  fraktur: {
    upper: 0x1d504,
    lower: 0x1d51e,
    elsewhere: { C: 0x212d, H: 0x210c, I: 0x2111, R: 0x211c, Z: 0x2128 },
  },
  'bold-fraktur': { upper: 0x1d56c, lower: 0x1d586 },
  'double-struck': {
    upper: 0x1d538,
    lower: 0x1d552,
    digit: 0x1d7d8,
    elsewhere: { C: 0x2102, H: 0x210d, N: 0x2115, P: 0x2119, Q: 0x211a, R: 0x211d, Z: 0x2124 },
  },
  'sans-serif': { upper: 0x1d5a0, lower: 0x1d5ba, digit: 0x1d7e2 },
  'bold-sans-serif': { upper: 0x1d5d4, lower: 0x1d5ee, digit: 0x1d7ec },
  'sans-serif-italic': { upper: 0x1d608, lower: 0x1d622 },
  monospace: { upper: 0x1d670, lower: 0x1d68a, digit: 0x1d7f6 },
}

/** `text` is HTML: its character references stay as they are. */
export function variantText(text: string, variant: string): string {
  const alphabet = ALPHABETS[variant]
  if (alphabet === undefined) return text
  return text
    .split(/(&[#\w]+;)/)
    .map((part) => (part.startsWith('&') ? part : part.replace(/[A-Za-z0-9]/g, (letter) => variantOf(letter, alphabet))))
    .join('')
}

function variantOf(letter: string, alphabet: Alphabet): string {
  const elsewhere = alphabet.elsewhere?.[letter]
  if (elsewhere !== undefined) return String.fromCodePoint(elsewhere)
  const code = letter.charCodeAt(0)
  if (letter >= 'A' && letter <= 'Z') return String.fromCodePoint(alphabet.upper + code - 65)
  if (letter >= 'a' && letter <= 'z') return String.fromCodePoint(alphabet.lower + code - 97)
  return alphabet.digit === undefined ? letter : String.fromCodePoint(alphabet.digit + code - 48)
}
