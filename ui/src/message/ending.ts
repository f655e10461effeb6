/** How an answer ended, where that was not well: in words, and what can be done about it. */
import type { Message } from '../lib/protocol'
import { answerText, CUT_TEXTS, states as say } from '../lib/texts-chat'

export interface Ending {
  text: string
  failed: boolean
  /** A part is there that can be continued. */
  partial: boolean
}

/** Null of what is whole, or no answer. */
export function endingOf(message: Message | null): Ending | null {
  if (message?.role !== 'assistant' || message.deleted_at !== null) return null
  const { status, text, meta } = message
  const [cut, empty] = [CUT_TEXTS[meta.finish ?? ''], isWordless(message)]
  const ended = status === 'failed' ? answerText(meta.error?.code)
    : status === 'stopped' ? say.stopped
    : status === 'interrupted' ? answerText('interrupted')
    : (cut ?? (empty ? say.wordless : null))
  return ended === null ? null : { text: ended, failed: status === 'failed' || (empty && !cut), partial: status !== 'failed' && meta.finish !== 'other_speaker' && text.trim() !== '' }
}

/** The model ended well and gave nothing: neither words, nor a part, a refusal or a call. */
function isWordless({ status, kind, text, meta: { finish, parts, refusal } }: Message): boolean {
  if (status !== 'done' || kind !== 'text' || text.trim() !== '') return false
  return !refusal && !parts?.length && finish !== 'tool_calls' && finish !== 'function_call'
}
