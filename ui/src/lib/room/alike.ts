/**
 * Which of the people of a room have names that look alike, and what tells them apart.
 *
 * Names are free; handles are not, also in look-alikes, so the handle says who is who. It is decided here once for all
 * of a room, from the members and whoever speaks in what is loaded.
 */
import { mark } from '../texts-later'

export interface Named {
  id: string
  name: string
  handle?: string | null
  guest?: boolean
}

/** Letters of other scripts that have the shape of a Latin one, small. */
const SHAPES: Record<string, string> = {
  а: 'a', ӓ: 'a', в: 'b', ь: 'b', с: 'c', ԁ: 'd', е: 'e', ё: 'e', ҽ: 'e', ғ: 'f', ԍ: 'g', һ: 'h', н: 'h', і: 'l', ї: 'l', ӏ: 'l', ј: 'j',
  к: 'k', м: 'm', п: 'n', о: 'o', р: 'p', ԛ: 'q', г: 'r', ѕ: 's', т: 't', ц: 'u', ѵ: 'v', ԝ: 'w', х: 'x', у: 'y', ү: 'y', з: 'z',
  α: 'a', β: 'b', ϲ: 'c', ε: 'e', η: 'n', ι: 'l', κ: 'k', μ: 'm', ν: 'v', ο: 'o', ρ: 'p', τ: 't', υ: 'u', χ: 'x', γ: 'y', ζ: 'z', ω: 'w', σ: 'o',
  ı: 'l', ɩ: 'l', ɑ: 'a', ɡ: 'g', ո: 'n', օ: 'o', ս: 'u', հ: 'h', 0: 'o', 1: 'l', i: 'l', '|': 'l', '!': 'l', ß: 'b', ø: 'o', ł: 'l',
}

/** What is left of a name when what looks alike is the same. */
export function skeleton(name: string): string {
  const plain = name.normalize('NFKC').toLowerCase().toUpperCase().toLowerCase().normalize('NFKD')
  const seen = plain.replace(/[\p{Cf}\p{Mn}\p{Z}\s._'’-]/gu, '')
  return [...seen].map((one) => SHAPES[one] ?? one).join('').replaceAll('rn', 'm').replaceAll('vv', 'w')
}

/** By id, what stands beside the names that are not the only ones of their look. The first of an id counts. */
export function marksOf(people: Iterable<Named>): Map<string, string> {
  const known = new Map<string, Named>()
  for (const one of people) if (!known.has(one.id)) known.set(one.id, one)
  const looks = new Map<string, Named[]>()
  for (const one of known.values()) {
    const look = skeleton(one.name)
    looks.set(look, [...(looks.get(look) ?? []), one])
  }
  const alike = [...looks.values()].filter((same) => same.length > 1).flat()
  return new Map(alike.map(({ id, handle, guest }) => [id, handle ? `@${handle}` : mark(id.slice(-4), guest ?? false)]))
}
