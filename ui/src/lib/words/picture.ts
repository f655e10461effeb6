/** Makes a small square of a picture that a person chose: a file of any size, of which the server gets 256 pixels a side. */
import { later } from '../texts-later'

const SIDE = 256
const BYTES_MAX = 20 * 1024 * 1024
/** As the server takes it. */
const SQUARE_BYTES_MAX = 256 * 1024
const QUALITY = 0.9

/** The square, in the first of the forms that is not too large; or in words why there is none. */
export async function squareOf(file: File, forms = ['image/webp', 'image/png', 'image/jpeg']): Promise<Blob | string> {
  const say = later.picture
  if (file.size > BYTES_MAX) return say.tooLarge(file.name, megabytes(file.size), megabytes(BYTES_MAX))
  const picture = await createImageBitmap(file).catch(() => null)
  if (!picture || picture.width === 0 || picture.height === 0) return say.none(file.name)
  const canvas = document.createElement('canvas')
  canvas.width = canvas.height = SIDE
  const context = canvas.getContext('2d')
  if (!context) return say.none(file.name)
  context.imageSmoothingQuality = 'high'
  const [left, top, side] = middleOf(picture.width, picture.height)
  context.drawImage(picture, left, top, side, side, 0, 0, SIDE, SIDE)
  picture.close()
  for (const type of forms) {
    const square = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, type, QUALITY))
    if (square && square.type === type && square.size <= SQUARE_BYTES_MAX) return square
  }
  return say.none(file.name)
}

/** The largest square in the middle: left, top, side. */
export function middleOf(width: number, height: number): [number, number, number] {
  const side = Math.min(width, height)
  return [Math.floor((width - side) / 2), Math.floor((height - side) / 2), side]
}

function megabytes(bytes: number): string {
  return Math.ceil(bytes / 1024 / 1024).toLocaleString()
}
