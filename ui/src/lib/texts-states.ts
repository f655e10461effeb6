/** The words of how a message came out, and of what can be done about it. */
export const states = {
  stopped: 'Stopped.',
  wordless: 'The model answered without a word.',
  notSent: 'Not sent.',
  kept: 'Kept, not stored yet',
  sending: 'Sending…',
}

export const actions = {
  continue: 'Continue',
  details: 'Details',
  edit: 'Edit',
  resend: 'Send again',
  discard: 'Discard',
}
