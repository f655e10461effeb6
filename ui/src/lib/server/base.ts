/**
 * Where the page lies below its host: `/`, or a path such as `/chat/` behind a reverse proxy.
 *
 * The build writes `./` into its one document, and the server the path that it is reached by.
 */
const told = document.querySelector<HTMLMetaElement>('meta[name="palaver-base"]')?.content ?? './'

export const BASE = told === './' ? '/' : told
