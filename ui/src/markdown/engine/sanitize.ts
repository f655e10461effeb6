/**
 * The last gate: only the tags, attributes and classes this renderer writes itself get through.
 *
 * The renderer already escapes all text, so nothing should ever be removed here; a mistake of the
 * renderer, of a highlighting grammar or of KaTeX ends here instead of in the page. No `style`, no `id`
 * or `name` (they would shadow the page's own variables), no form, no address that loads by itself.
 */
import createDOMPurify from 'dompurify'
import { isInlineImage, safeAddress } from './links'

const TAGS = [
  'a', 'bdi', 'blockquote', 'br', 'button', 'code', 'del', 'div', 'em', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr',
  'img', 'li', 'ol', 'p', 'pre', 'span', 'strong', 'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul',
  'math', 'mfrac', 'mi', 'mmultiscripts', 'mn', 'mo', 'mover', 'mprescripts', 'mroot', 'mrow', 'ms', 'mspace',
  'msqrt', 'mstyle', 'msub', 'msubsup', 'msup', 'mtable', 'mtd', 'mtext', 'mtr', 'munder', 'munderover',
]

const ATTRIBUTES = [
  'alt', 'aria-label', 'class', 'dir', 'href', 'rel', 'role', 'src', 'start', 'tabindex', 'target', 'title', 'type',
  'accent', 'accentunder', 'alttext', 'columnalign', 'display', 'displaystyle', 'fence', 'largeop', 'linethickness',
  'lspace', 'mathvariant', 'maxsize', 'minsize', 'movablelimits', 'rspace', 'scriptlevel', 'separator', 'stretchy',
  'symmetric', 'width',
]

const CLASS = /^(?:md-[\w-]+|hljs(?:-[\w-]+)?|[a-z]+_)$/
const SPACE_EM_MAX = 3

export type Sanitize = (html: string) => string

export function createSanitizer(view: Window & typeof globalThis): Sanitize {
  const purifier = createDOMPurify(view)
  purifier.addHook('uponSanitizeAttribute', (element, attribute) => {
    attribute.keepAttr = attribute.keepAttr && isWanted(element, attribute.attrName, attribute.attrValue)
  })
  purifier.addHook('afterSanitizeAttributes', (element) => {
    if (element.localName === 'mtd') alignCell(element)
  })
  return (html) =>
    purifier.sanitize(html, {
      ALLOWED_TAGS: TAGS,
      ALLOWED_ATTR: ATTRIBUTES,
      ALLOW_DATA_ATTR: false,
      ALLOW_ARIA_ATTR: false,
      ALLOW_UNKNOWN_PROTOCOLS: false,
      ADD_URI_SAFE_ATTR: ['title', 'alttext'],
    })
}

function isWanted(element: Element, name: string, value: string): boolean {
  switch (name) {
    case 'href':
      return element.localName === 'a' && safeAddress(value) !== null
    case 'src':
      return element.localName === 'img' && isInlineImage(value)
    case 'class':
      return value.split(' ').every((part) => CLASS.test(part))
    case 'type':
      return element.localName === 'button' && value === 'button'
    case 'width':
      return element.localName === 'mspace' && isSmallSpace(value)
    case 'lspace':
    case 'rspace':
      return isSmallSpace(value)
    default:
      return true
  }
}

/** A negative or huge space would push text over other text or out of sight. */
function isSmallSpace(value: string): boolean {
  const size = /^(\d*\.?\d+)em$/.exec(value)
  return size !== null && Number(size[1]) <= SPACE_EM_MAX
}

/** MathML Core has no column alignment; the cell gets a class for it. */
function alignCell(cell: Element): void {
  const alignments = cell.parentElement?.parentElement?.getAttribute('columnalign')?.split(' ')
  const index = cell.parentElement === null ? -1 : Array.prototype.indexOf.call(cell.parentElement.children, cell)
  const alignment = alignments?.[index]
  if (alignment === 'left' || alignment === 'right') cell.setAttribute('class', `md-cell-${alignment}`)
}
