/** The version of kube-sg, as package.json has it. Pure. */
export const VERSION = '0.1.0'
