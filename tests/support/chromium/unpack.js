// Unpacks the browser into the system's temporary folder (TMPDIR) and prints where it is. With this
// variable the package also unpacks the libraries that a bare system lacks.
process.env.AWS_LAMBDA_JS_RUNTIME = 'nodejs20.x'
const { default: chromium } = await import('@sparticuz/chromium')
console.log(await chromium.executablePath())
