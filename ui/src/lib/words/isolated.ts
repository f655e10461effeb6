/** A name among other words, which cannot turn them around: where it runs from the right, it stands by itself. */
export function isolated(name: string): string {
  const plain = name.replace(/[\u202a-\u202e\u2066-\u2069]/g, '')
  return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u.test(plain) ? `\u2068${plain}\u2069` : plain
}
