/** The emoji from which one chooses, by their names. Fetched when somebody reacts. */
import type { Message } from '../lib/protocol'
import { reactions as say } from '../lib/texts-chat'
import type { MenuItem, PageState } from '../page.svelte'

const KEY = 'palaver.emoji'
const RECENT_MAX = 8
/** So many of them are common: the others are there for who looks for them. */
const COMMON = 40
const NAMES = `👍 thumbs up|👎 thumbs down|❤️ red heart|😂 face with tears of joy|🎉 party popper|🙏 folded hands, thanks|👏 clapping hands|🔥 fire
🚀 rocket|👀 eyes|✅ check mark, done|❌ cross mark, no|💯 hundred points|🤔 thinking face|😄 smiling face|😊 happy face
😍 face with heart eyes|😮 surprised face|😢 crying face|😡 angry face|🙌 raised hands, hooray|💪 strong arm|👋 waving hand|🤝 handshake
👌 OK hand|✨ sparkles|⭐ star|💡 light bulb, idea|❓ question mark|❗ exclamation mark|⚠️ warning|🐛 bug
🛠️ tools|📌 pin|🕐 clock, later|☕ coffee|🎂 birthday cake|🍀 four-leaf clover, luck|🌈 rainbow|🤖 robot
😀 grinning face|😁 beaming face|😅 sweating smile|🤣 rolling on the floor laughing|🙂 slight smile|😉 winking face|😇 halo|🥰 face with hearts
😘 kiss|😋 delicious|😜 joking face|🤗 hug|🤫 hush, quiet|🤨 raised eyebrow|😐 neutral face|😏 smirk
🙄 rolling eyes|😬 grimace|😌 relieved|😴 sleeping|😷 mask|🤒 ill, thermometer|🤯 mind blown|🥳 party face
😎 cool, sunglasses|🤓 nerd|😕 confused|😟 worried|😳 flushed|🥺 pleading|😭 sobbing|😱 scream
😤 proud, steam|🤬 swearing|💀 skull|👻 ghost|👽 alien|💩 poo|😺 cat face|🙈 see no evil monkey
🙉 hear no evil monkey|🙊 speak no evil monkey|💔 broken heart|🧡 orange heart|💛 yellow heart|💚 green heart|💙 blue heart|💜 purple heart
🖤 black heart|🤍 white heart|💥 boom, collision|💫 dizzy|💤 sleep|✋ raised hand|🖖 vulcan salute|🤞 crossed fingers
✌️ victory hand, peace|🤘 horns|🤙 call me|👈 pointing left|👉 pointing right|👆 pointing up|👇 pointing down|✊ fist
👊 fist bump|🤜 right fist|🫶 heart hands|🫡 salute|🤷 shrug|🤦 facepalm|🙋 raising a hand|🙇 bow
🧠 brain|👶 baby|👩 woman|👨 man|👵 old woman|👴 old man|👮 police|🕵️ detective
🐶 dog|🐱 cat|🐭 mouse|🐰 rabbit|🦊 fox|🐻 bear|🐼 panda|🦁 lion
🐸 frog|🐵 monkey|🐔 chicken|🐧 penguin|🦉 owl|🦄 unicorn|🐝 bee|🦋 butterfly
🐢 turtle|🐍 snake|🐙 octopus|🐳 whale|🐬 dolphin|🌸 blossom|🌹 rose|🌻 sunflower
🌲 tree|🌵 cactus|🍁 leaf, autumn|🍎 apple|🍌 banana|🍓 strawberry|🍑 peach|🥑 avocado
🍕 pizza|🍔 hamburger|🍟 fries|🌮 taco|🍣 sushi|🍪 cookie|🍩 doughnut|🍫 chocolate
🍺 beer|🍻 cheers|🥂 clinking glasses|🍷 wine|🍵 tea|🍿 popcorn|⚽ football|🏀 basketball
🎾 tennis|🏆 trophy|🥇 gold medal|🎯 bullseye, target|🎲 die, game|🎮 video game|🎵 music|🎸 guitar
🎨 art, palette|🎬 film|🚗 car|🚆 train|✈️ aeroplane|🚲 bicycle|🏠 house|🏖️ beach
🌍 earth|🌙 moon|☀️ sun|☁️ cloud|🌧️ rain|❄️ snow|⚡ lightning|🌊 wave, sea
🎁 gift, present|🎈 balloon|🎄 Christmas tree|🎃 pumpkin|💰 money|💎 gem|🔑 key|🔒 lock
🔔 bell|📣 megaphone|📷 camera|📱 phone|💻 computer|📎 paperclip|📝 memo, note|📅 calendar
📈 rising chart|📉 falling chart|🔍 magnifying glass, search|🧪 test tube, experiment|🔗 link|⏳ hourglass, wait|⏰ alarm clock|🔄 again, arrows
➕ plus|➖ minus|➡️ arrow right|⬆️ arrow up|⬇️ arrow down|⬅️ arrow left|🆗 OK|🆕 new
🔴 red circle|🟠 orange circle|🟡 yellow circle|🟢 green circle|🔵 blue circle|🟣 purple circle|⚫ black circle|⚪ white circle
🚧 construction|🛑 stop|🚨 siren, alarm|🏁 finish, flag|🏳️‍🌈 rainbow flag|🏴‍☠️ pirate flag|♻️ recycling|☢️ radioactive`

const named = new Map(
  NAMES.split(/[\n|]/).map((one): [string, string] => {
    const [sign = '', ...words] = one.split(' ')
    return [sign, words.join(' ')]
  }),
)

/** What it is called; what nobody gave a name here is read out by its own. */
export function nameOf(emoji: string): string {
  return named.get(emoji)?.split(',')[0] ?? emoji
}

/** Reacts to a message so, or not any more; what comes of it is told by the room. */
export async function react(page: PageState, { id: msg }: Message, emoji: string, there = true): Promise<void> {
  try {
    await page.session.connection.request({ t: there ? 'react' : 'unreact', msg, emoji })
  } catch (error) {
    page.report(error)
  }
}

/** Asks with which one. */
export function choose(page: PageState, anchor: HTMLElement, message: Message): void {
  const recent = kept()
  const item = (sign: string, group: string): MenuItem => ({
    name: named.get(sign) ?? sign, icon: 'smile', testid: `emoji-${sign}`, sign, group, seldom: group === say.others,
    run: () => {
      keep([sign, ...recent.filter((one) => one !== sign)].slice(0, RECENT_MAX))
      void react(page, message, sign)
    },
  })
  const others = [...named.keys()].map((sign, index) => item(sign, index < COMMON ? say.common : say.others))
  const items = [...recent.map((sign) => item(sign, say.recent)), ...others.filter(({ sign = '' }) => !recent.includes(sign))]
  void page.openMenu(anchor, say.react, items, { label: say.find, nothing: say.nothing })
}

function kept(): string[] {
  try {
    return (localStorage.getItem(KEY) ?? '').split(' ').filter((sign) => named.has(sign))
  } catch {
    return []
  }
}

function keep(signs: readonly string[]): void {
  try {
    localStorage.setItem(KEY, signs.join(' '))
  } catch {
    // Then they are forgotten.
  }
}
