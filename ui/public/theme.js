// Runs before the first paint, so that a chosen theme never flashes. The page's code changes it later.
try {
  const theme = localStorage.getItem('palaver.theme')
  if (theme === 'light' || theme === 'dark') {
    document.documentElement.dataset.theme = theme
    const ground = { light: '#fdfcfa', dark: '#191816' }[theme]
    for (const meta of document.querySelectorAll('meta[name="theme-color"]')) meta.content = ground
  }
} catch {
  // Without storage the system's theme stays.
}
