/** Wears what is unread on the icon of the tab, and, where the page is installed, on the icon of the app. */
const PLAIN = /favicon(-unread)?\.svg$/

export function showUnread(count: number): void {
  const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]')
  const name = count > 0 ? 'favicon-unread.svg' : 'favicon.svg'
  if (icon && !icon.href.endsWith(`/${name}`)) icon.href = icon.href.replace(PLAIN, name)
  const badge = count > 0 ? navigator.setAppBadge?.(count) : navigator.clearAppBadge?.()
  void badge?.catch(() => undefined) // Where it is not allowed the tab says enough.
}
