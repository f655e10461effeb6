// Runs before the first paint, so that a chosen theme never flashes. The page's code changes it later.
try {
  const theme = localStorage.getItem('palaver.theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch {
  // Without storage the system's theme stays.
}
