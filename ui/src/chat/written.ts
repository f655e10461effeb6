/** Puts words into a field in the place of what stands there, as if they had been typed. */
export function written(field: HTMLTextAreaElement, words: string, from: number, to: number): void {
  field.setRangeText(words, from, to, from === 0 && to === 0 ? 'preserve' : 'end')
  field.dispatchEvent(new InputEvent('input', { bubbles: true }))
  field.focus()
}
