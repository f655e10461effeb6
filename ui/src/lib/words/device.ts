/** What the list of devices calls a browser: "Firefox on Android". */
import { device } from '../texts'

const BROWSERS: [RegExp, string][] = [
  [/Edg(?:A|iOS)?\//, 'Edge'],
  [/SamsungBrowser\//, 'Samsung Internet'],
  [/Firefox\/|FxiOS\//, 'Firefox'],
  [/OPR\//, 'Opera'],
  [/Chrom(?:e|ium)\/|CriOS\//, 'Chrome'],
  [/Safari\//, 'Safari'],
]
const SYSTEMS: [RegExp, string][] = [
  [/Android/, 'Android'],
  [/iPhone/, 'iPhone'],
  [/iPad/, 'iPad'],
  [/CrOS/, 'ChromeOS'],
  [/Windows/, 'Windows'],
  [/Mac OS X/, 'Mac'],
  [/Linux/, 'Linux'],
]

export function deviceName(agent: string): string {
  const named = (known: [RegExp, string][], other: string) => known.find(([sign]) => sign.test(agent))?.[1] ?? other
  const { on, browser, system } = device
  return on(named(BROWSERS, browser), named(SYSTEMS, system))
}
